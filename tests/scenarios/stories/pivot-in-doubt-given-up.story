A person finds out that a pivot in doubt did not come about and gives it up: the saga turns back, and bars
it first.

saga:
  reserve
  pay, pivot, budget 100ms
  ship, retriable

given:
  pay: status UNAVAILABLE, 2 times

meanwhile:
  at rest -> operator FAIL pay

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun as the pivot
  pay faulted UNKNOWN UNAVAILABLE, again in 100ms
  pay faulted UNKNOWN UNAVAILABLE at attempt 2, for good
  operator FAIL pay
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was given up: FAILED_BY_HAND: she knows. What was begun has been undone.
stands: nothing
