# The image of an endpoint: SageMaker's contract around a registered version, nothing else.
#   docker build -f ops/docker/serving.Dockerfile -t bikeshare-serving:local .
# SageMaker unpacks the model to /opt/ml/model and runs the image with the argument `serve`.
FROM python:3.11-slim

WORKDIR /opt/bikeshare
COPY requirements.lock ops/docker/serving.in ./
# the scorer walks the trees itself: LightGBM is not needed here
# the versions and hashes of the lock, of these packages and what they need only
RUN pip install --no-cache-dir --require-hashes -c requirements.lock -r serving.in
COPY mlops_bikeshare ./mlops_bikeshare

# one process, one thread per model: two were slower under load
ENV OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system bikeshare
USER bikeshare
EXPOSE 8080
ENTRYPOINT ["python", "-m", "mlops_bikeshare.serving.container"]
CMD ["serve"]
