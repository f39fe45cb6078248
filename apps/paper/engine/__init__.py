"""The matching engine: orders, fills, fees and postings as pure functions, without a database or a clock."""
