"""What the drills' verify steps need beyond assertions on a report."""
