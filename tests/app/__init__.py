"""What the service is put together from."""
