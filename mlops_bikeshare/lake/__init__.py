"""Where data rests: objects created once, tables of Parquet, and SQL views over them."""
