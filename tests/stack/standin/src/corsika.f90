! Stand-in for CORSIKA in tests: reads steering cards, and writes an "event" a shower whose
! numbers follow from the seeds, so that the same card gives the same file.
program corsika
  implicit none
  character(len=132) :: line
  character(len=200) :: key, telfil, direct, name
  integer :: status, showers, run, i, n, seeds(3, 4), sequence
  integer, allocatable :: state(:)
  real(8) :: low, high, slope, u, energy
  logical, parameter :: iact = @IACT@
  logical :: there, ended

  showers = 0; run = 0; sequence = 0; ended = .false.
  low = 0; high = 0; slope = -2; telfil = ' '; direct = './'; seeds = 0
  inquire (file='TABLE', exist=there)
  if (.not. there) stop 2
  do
     read (*, '(a)', iostat=status) line
     if (status /= 0) exit
     read (line, *) key
     select case (key)
     case ('RUNNR'); read (line, *) key, run
     case ('NSHOW'); read (line, *) key, showers
     case ('ERANGE'); read (line, *) key, low, high
     case ('ESLOPE'); read (line, *) key, slope
     case ('SEED')
        sequence = sequence + 1
        read (line, *) key, seeds(:, sequence)
     case ('TELFIL'); telfil = adjustl(line(7:))
     case ('DIRECT'); direct = adjustl(line(7:))
     case ('EXIT'); ended = .true.
     end select
  end do
  if (.not. ended .or. showers < 1 .or. run < 1 .or. sequence < 4) then
     print *, 'incomplete cards'
     stop 0
  end if
  call random_seed(size=n)
  allocate (state(n))
  state = [(seeds(1, mod(i, 4) + 1) + i, i=1, n)]
  call random_seed(put=state)
  write (name, '(a,a,i6.6)') trim(direct), 'DAT', run
  if (iact) name = telfil
  open (10, file=trim(name), access='stream', form='unformatted', status='replace')
  do i = 1, showers
     call random_number(u)
     energy = low * (high / low)**u
     write (10) run, i, energy
  end do
  close (10)
  print *, '=== END OF RUN ==='
end program
