"""The image store on MinIO or any server that speaks S3."""
