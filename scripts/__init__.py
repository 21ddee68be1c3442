"""Commands that people run; nothing else imports them."""
