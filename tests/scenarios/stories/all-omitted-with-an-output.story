A saga that omits every step still yields its output, made of its input and of default outputs.

saga:
  check
    when: input.amount > 100
    default output: {"checked": false}
yields: {"amount": "input.amount", "checked": "outputs.check.checked"}
input: {"amount": 5}

timeline:
  saga started
  check omitted
  output shaped

ends: COMPLETED
output: {"amount": 5, "checked": false}
stands: nothing
