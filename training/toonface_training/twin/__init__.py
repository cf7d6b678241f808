"""Three of the six networks in PyTorch, which trains the two small ones several times as fast as Paddle does on a CPU.

Each module here has the name of its counterpart in Paddle's network, so that a parameter is called the same in both but
for the few words in `carry`. A network trained here is a Paddle network once it has been carried over, and `carry`
proves that the two answer alike. The parameters that training begins with are Paddle's too.

Needs the extra `torch`; nothing outside this package imports it before it is asked for.
"""
