"""What the user looks at and presses: key table, terminal player."""
