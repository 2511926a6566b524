No more steps of a saga are at work at a time than it allows; the next one begins when one of them is done.

saga: maxParallel 2
  flight, after nothing
  hotel, after nothing
  car, after nothing
  tour, after nothing

given:
  flight: succeeded, takes 1s
  hotel: succeeded, takes 3s
  car: succeeded, takes 1s
  tour: succeeded, takes 2s

timeline:
  +0s saga started
  +0s flight begun
  +0s hotel begun
  +1s flight succeeded
  +1s car begun
  +2s car succeeded
  +2s tour begun
  +3s hotel succeeded
  +4s tour succeeded

ends: COMPLETED
stands: flight, hotel, car, tour
