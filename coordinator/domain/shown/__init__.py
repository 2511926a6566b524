"""What people are shown of a saga, and what is kept from them: plans, masked values, a history to keep."""
