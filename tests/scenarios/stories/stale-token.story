A participant that has seen a newer coordinator is no outcome: the saga is set aside, and a person has it
driven on.

saga:
  reserve
  pay

given:
  pay: stale token

meanwhile:
  at rest -> operator RETRY

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  operator RETRY
  pay succeeded at attempt 2

ends: COMPLETED
stands: reserve, pay
sent: do reserve, do pay, do pay
