"""What an investigator must not have seen, looked for in logs."""
