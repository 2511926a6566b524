Past the pivot, a step whose condition or input cannot be made needs a person; what does not depend on it
goes on.

saga:
  pay, pivot
  ship, retriable, after pay
    input: {"to": "input.address.street"}
  gift, retriable, after pay
    when: outputs.pay.gift
  mail, retriable, after pay

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  gift's when failed: expected outputs.pay to be an object, found a text
  ship's input.to failed: input has no field "address"
  mail begun
  mail succeeded

ends: DEAD_LETTERED, ship EXPRESSION
error: ship at ShipService needs a person: its expression failed at input.to: input has no field "address", and past the pivot nothing is undone. gift at GiftService needs a person: its expression failed at when: expected outputs.pay to be an object, found a text, and past the pivot nothing is undone.
stands: pay, mail
sent: do pay, do mail
