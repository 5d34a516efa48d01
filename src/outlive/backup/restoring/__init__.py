"""From the store to a running server: fetched, extracted, checked, recovered."""
