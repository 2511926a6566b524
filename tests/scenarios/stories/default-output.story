Where a step was omitted, its default output stands in the expressions behind it, and in the saga's output.

saga:
  flight, after nothing
  car, after nothing
    when: has(input.car)
    default output: {"price": 0}
  pay, after flight and car
    input: {"amount": "outputs.flight.price + outputs.car.price"}
yields: {"car": "outputs.car"}

given:
  flight: succeeded with {"price": 90}

timeline:
  saga started
  car omitted
  flight begun
  flight succeeded with {"price":90}
  pay begun with {"amount":90}
  pay succeeded
  output shaped

ends: COMPLETED
output: {"car": {"price": 0}}
stands: flight, pay
asked:
  do pay with {"amount":90}
