"""Reports of orders: a step of our processes, the archive it files them in, and what our workers do beside steps."""
