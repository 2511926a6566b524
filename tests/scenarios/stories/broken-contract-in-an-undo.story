An undo whose answer breaks the contract is asked for again, and flagged once.

saga:
  reserve
  pay

given:
  pay: status UNIMPLEMENTED
  undo reserve: babbles after the effect, 2 times

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  undo reserve faulted BROKEN_CONTRACT, again in 500ms
  undo reserve faulted BROKEN_CONTRACT at attempt 2, again in 1s
  reserve undone at attempt 3

ends: COMPENSATED
error: pay at PayService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
flags: reserve: BROKEN_CONTRACT
stands: nothing
