A person who knows that the cause is gone has a step asked at once that waits for its time.

saga:
  reserve
  pay

given:
  pay: faulted BUSY, ask again in 5s
  pay: pending, ask again in 1h

meanwhile:
  pay faulted BUSY, again in 5s -> operator RETRY pay
  pay pending at attempt 2, asked again in 1h -> operator RETRY pay

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted BUSY, again in 5s
  +0s operator RETRY pay
  +0s pay pending at attempt 2, asked again in 1h
  +0s operator RETRY pay
  +0s pay succeeded at attempt 2

ends: COMPLETED
stands: reserve, pay
sent: do reserve, do pay, do pay, do pay
