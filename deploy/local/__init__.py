"""The supervisor behind `make up`: S3, registry and serving on one machine."""
