"""Where speed is known: cases that are repeated, compared within one run, and printed with what they ran on."""
