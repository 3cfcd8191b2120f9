ucarp --interface=eth0 --srcip=192.0.2.1/24 --vhid=1 --pass=mypassword --addr=192.0.2.100/24 --upscript=/etc/vip-up.sh --downscript=/etc/vip-down.sh
