"""What this system is compared with: each peer small, honest, and on the same tables with the same token check."""
