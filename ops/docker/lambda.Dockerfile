# The image of the jobs that schedules start: ingest, infer, monitor, drift, compact; and of SageMaker's
# jobs, features and train, which start it with `python3 -m projects.sagemaker`.
#   docker build -f ops/docker/lambda.Dockerfile -t bikeshare-jobs:local .
# One image for all of them; the event says which (`mlops_bikeshare/jobs/job.py`). The base brings
# Lambda's runtime interface client.
FROM public.ecr.aws/lambda/python:3.11

COPY requirements.lock ops/docker/lambda.in /tmp/
# the versions and hashes of the lock, of these packages and what they need only
RUN pip install --no-cache-dir --require-hashes -c /tmp/requirements.lock -r /tmp/lambda.in \
    --target "${LAMBDA_TASK_ROOT}"
COPY mlops_bikeshare ${LAMBDA_TASK_ROOT}/mlops_bikeshare
COPY projects ${LAMBDA_TASK_ROOT}/projects
COPY ops/alarms.toml ${LAMBDA_TASK_ROOT}/ops/alarms.toml
COPY bikeshare.toml ${LAMBDA_TASK_ROOT}/

# Only /tmp can be written: caches lie there, what must last lies in the lake's bucket.
ENV BIKESHARE_HOME=/var/task PYTHONPATH=/var/task BIKESHARE_STATE_DIR=/tmp/bikeshare MPLCONFIGDIR=/tmp/matplotlib \
    HOME=/tmp OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
    MLFLOW_DISABLE_TELEMETRY=true PYTHONDONTWRITEBYTECODE=1
CMD ["mlops_bikeshare.jobs.handler.handler"]
