"""PostgreSQL: row classes, the store and migrations. The only package that imports SQLAlchemy."""
