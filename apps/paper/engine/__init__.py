"""The matching engine: orders, fills, fees and postings as pure decisions. It knows no database and no clock."""
