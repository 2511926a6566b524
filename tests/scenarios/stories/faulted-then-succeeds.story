A step that faults is asked again under the same key, after pauses that grow.

saga:
  reserve
  pay

given:
  reserve: faulted BUSY, 3 times

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve faulted BUSY, again in 100ms
  +100ms reserve faulted BUSY at attempt 2, again in 200ms
  +300ms reserve faulted BUSY at attempt 3, again in 400ms
  +700ms reserve succeeded at attempt 4
  +700ms pay begun
  +700ms pay succeeded

ends: COMPLETED
stands: reserve, pay
sent: do reserve, do reserve, do reserve, do reserve, do pay
