Past the pivot a saga whose output cannot be made is completed without one, and flagged.

saga:
  pay, pivot
  ship, retriable
yields: {"parcel": "outputs.ship.parcel"}

timeline:
  saga started
  pay begun as the pivot
  pay succeeded
  ship begun
  ship succeeded
  output.parcel failed: expected outputs.ship to be an object, found a text

ends: COMPLETED
error: Every step is done, but the saga's output could not be made: output.parcel: expected outputs.ship to be an object, found a text.
flags: output.parcel: expected outputs.ship to be an object, found a text
stands: pay, ship
