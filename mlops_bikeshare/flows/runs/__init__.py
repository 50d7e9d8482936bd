"""What a run of training or of deciding reads, and leaves in MLflow."""
