"""GitHub: issues, pull requests and workflows, by its REST API; also on an Enterprise Server."""
