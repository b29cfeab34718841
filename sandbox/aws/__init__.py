"""The sandbox's AWS endpoint: moto's server with an S3 that persists and checks conditions, and Glue jobs that run."""
