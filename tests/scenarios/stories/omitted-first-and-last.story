Steps can be omitted at both ends; one whose condition is true is done.

saga:
  check
    when: input.amount > 100
  pay
    when: input.amount > 0
  mail
    when: has(input.address)
input: {"amount": 5}

timeline:
  saga started
  check omitted
  pay begun
  pay succeeded
  mail omitted

ends: COMPLETED
stands: pay
sent: do pay
