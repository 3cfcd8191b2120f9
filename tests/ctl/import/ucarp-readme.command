ucarp --interface=eth0 --srcip=192.0.2.1 --vhid=1 --pass=mypassword --addr=192.0.2.252 --upscript=/etc/vip-up.sh --downscript=/etc/vip-down.sh
