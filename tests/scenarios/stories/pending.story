A participant that has taken a step on is asked again when it wishes, or after a second; that uses up no
attempt.

saga:
  reserve
  pay, attempts 1

given:
  pay: pending, ask again in 10m
  pay: pending, 2 times

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay pending, asked again in 10m
  +10m pay pending, asked again in 1s
  +601s pay pending, asked again in 1s
  +602s pay succeeded

ends: COMPLETED
stands: reserve, pay
sent: do reserve, do pay, do pay, do pay, do pay
