A step whose condition is false is omitted: nothing is sent, and what depends on it goes on.

saga:
  reserve
  gift
    when: input.gift
  pay
input: {"gift": false}

timeline:
  saga started
  reserve begun
  reserve succeeded
  gift omitted
  pay begun
  pay succeeded

ends: COMPLETED
stands: reserve, pay
sent: do reserve, do pay
