If every condition is false, the saga is completed as soon as it is started, and nobody was asked for
anything.

saga:
  check
    when: input.amount > 100
  pay
    when: input.amount > 0
input: {"amount": 0}

timeline:
  saga started
  check omitted
  pay omitted

ends: COMPLETED
stands: nothing
