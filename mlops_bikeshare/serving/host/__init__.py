"""A local host that speaks SageMaker's wire protocol: one front, one process per variant."""
