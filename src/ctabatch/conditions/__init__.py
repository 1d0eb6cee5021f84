"""The conditions database: what held at a site during a time."""
