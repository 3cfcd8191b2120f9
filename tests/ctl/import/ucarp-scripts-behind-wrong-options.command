ucarp -i eth0 -v 51 -p 'S3cure!' -a 192.0.2.100 -s 192.0.2.10 -P /etc/ucarp/vip-up.sh -p /etc/ucarp/vip-down.sh
