"""The sandbox's AWS endpoint: moto's server, with S3 that persists and honours conditions, and Glue jobs that run."""
