"""Everything in PostgreSQL: row classes, fenced statements and migrations. The only package with SQLAlchemy."""
