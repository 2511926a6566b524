An answer that breaks the contract proves nothing: the saga turns back, the step is undone, and the saga is
flagged.

saga:
  reserve
  pay

given:
  pay: babbles after the effect

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted BROKEN_CONTRACT, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was given up: BROKEN_CONTRACT: the answer cannot be read. What was begun has been undone.
flags: pay: BROKEN_CONTRACT
stands: nothing
