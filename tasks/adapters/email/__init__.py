"""E-mail over SMTP (RFC 5321): one operation, `send_email`, and a look at the server that sends nothing.

`adapter` is the class; `connection` what the operator says of the server, `mail` what a step wants sent; `addresses`,
`wording` and `composing` make the message of it; `session`, `signing_in` and `tokens` reach the server, `transaction`
hands the message over, and `replies` says what a no of the server means.
"""
