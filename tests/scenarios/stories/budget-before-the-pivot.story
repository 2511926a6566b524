A step before the pivot can have a budget as well: when it is spent, the saga turns back.

saga:
  reserve
  pay, attempts 100, budget 600ms

given:
  pay: faulted BUSY, every time

timeline:
  +0s saga started
  +0s reserve begun
  +0s reserve succeeded
  +0s pay begun
  +0s pay faulted BUSY, again in 100ms
  +100ms pay faulted BUSY at attempt 2, again in 200ms
  +300ms pay faulted BUSY at attempt 3, again in 300ms
  +600ms pay faulted BUSY at attempt 4, for good
  +600ms undo pay begun, no receipt
  +600ms pay undone
  +600ms undo reserve begun
  +600ms reserve undone

ends: COMPENSATED
error: pay at PayService was given up: BUSY. What was begun has been undone.
stands: nothing
