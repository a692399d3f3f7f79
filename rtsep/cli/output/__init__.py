"""What a command shows while it works: progress and notifications."""
