"""What is served over HTTP: metrics, health, the status page and its data. Knows no leases."""
