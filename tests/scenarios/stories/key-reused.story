A participant that knows the key with other content contradicts us: the saga turns back and is flagged.

saga:
  reserve
  pay

given:
  pay: key reused

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  pay faulted KEY_REUSED, for good
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was given up: KEY_REUSED: the key came with other content. What was begun has been undone.
flags: pay: KEY_REUSED
stands: nothing
