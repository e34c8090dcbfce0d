"""What Prometheus scrapes. The only package that imports its client library."""
