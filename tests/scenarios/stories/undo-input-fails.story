An undo whose input cannot be made is not sent and needs a person; it holds up what it depends on, and
nothing else.

saga:
  flight, after nothing
  hotel, after flight
    undo input: {"booking": "outputs.hotel.booking"}
    default output: {"booking": null}
  car, after nothing
  pay, after hotel and car

given:
  hotel: succeeded with {"id": 7}
  pay: status UNIMPLEMENTED

timeline:
  saga started
  side by side:
    flight begun; flight succeeded; hotel begun; hotel succeeded with {"id":7}
    car begun; car succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  side by side:
    undo car begun; car undone
    hotel's compensationInput.booking failed: outputs.hotel has no field "booking"

ends: DEAD_LETTERED, hotel EXPRESSION
error: pay at PayService was given up: UNIMPLEMENTED: a status. Its undo needs a person: undo_hotel at HotelService failed for good; behind it wait: flight.
stands: flight, hotel
