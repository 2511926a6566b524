A participant that says the step was compensated already, though the saga goes forward, contradicts us: it
turns back.

saga:
  reserve
  pay

given:
  pay: barred

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted BARRED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was given up: BARRED: it was compensated already. What was begun has been undone.
flags: pay: BARRED
stands: nothing
