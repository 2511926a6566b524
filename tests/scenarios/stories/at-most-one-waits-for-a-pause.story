A step that waits to be asked again is at work all the same: where one is allowed, nothing else begins
meanwhile.

saga: maxParallel 1
  flight, after nothing
  hotel, after nothing

given:
  flight: faulted BUSY, ask again in 3s
  flight: pending, ask again in 10s

timeline:
  +0s saga started
  +0s flight begun
  +0s flight faulted BUSY, again in 3s
  +3s flight pending at attempt 2, asked again in 10s
  +13s flight succeeded at attempt 2
  +13s hotel begun
  +13s hotel succeeded

ends: COMPLETED
stands: flight, hotel
