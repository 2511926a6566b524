A refusal that nobody heard is repeated to the next coordinator, which has the step undone: what the first
attempt did, it cannot know.

saga:
  reserve
  pay

given:
  pay: refused CARD_DECLINED, and the coordinator dies
  pay: refused CARD_DECLINED

timeline:
  saga started
  reserve begun
  reserve succeeded
  pay begun
  saga resumed
  pay refused CARD_DECLINED
  undo pay begun, no receipt
  pay undone
  undo reserve begun
  reserve undone

ends: COMPENSATED
error: pay at PayService was refused: CARD_DECLINED: the business says no. What was begun has been undone.
stands: nothing
sent: do reserve, do pay, do pay, undo pay, undo reserve
