ucarp --int=bond0.61 --srcip=192.0.2.31 --vhid=010 --pass=foo --addr=192.0.2.9 --advskew=255 --mcast=224.0.0.200 -z
